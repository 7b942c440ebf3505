"""`python -m experiments.transfer_learning`."""

from experiments.study.program import enter
from experiments.transfer_learning.options import TransferOptions

enter("transfer_learning", TransferOptions)
