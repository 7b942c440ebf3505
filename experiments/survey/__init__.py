"""R2 of log g under the conditions of a survey: the limit, and networks that live with them or do not."""

from experiments.survey.experiment import STUDY

__all__ = ["STUDY"]
