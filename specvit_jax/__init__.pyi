from .evaluation.evaluate import Evaluation as Evaluation
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.labelled import LabelledStars as LabelledStars
from .evaluation.limits import cramer_rao as cramer_rao
from .evaluation.limits import exact_posterior as exact_posterior
from .evaluation.predict import Predictions as Predictions
from .evaluation.predict import predict as predict
from .evaluation.scores import Scores as Scores
from .evaluation.scores import score as score
from .evaluation.trained import TrainedNetwork as TrainedNetwork
from .evaluation.trained import load as load
from .network.weights import Weights as Weights
from .network.weights import load_weights as load_weights
from .network.weights import save_weights as save_weights
from .settings.config import Config as Config
from .settings.config import DataConfig as DataConfig
from .settings.config import ModelConfig as ModelConfig
from .settings.config import TrainConfig as TrainConfig
from .settings.config import preset as preset
from .spectra.priors import LabelsDrawn as LabelsDrawn
from .spectra.simulate import simulate as simulate
from .spectra.source import Batch as Batch
from .spectra.source import Simulator as Simulator
from .spectra.source import make_simulator as make_simulator
from .training.loop import train as train

__version__: str
