"""`python -m experiments.survey`."""

from experiments.study.program import enter
from experiments.survey.options import SurveyOptions

enter("survey", SurveyOptions)
