"""What terms of tables mean, in the line that stands under them."""

SCHUR_DECAY = (
    "Schur decay: share of the information on a label that is left when the others are unknown too, "
    "(bound with the others known / bound)^2; at 1 they cost nothing."
)
CONDITION_NUMBER = (
    "Condition number: largest over smallest eigenvalue of the matrix on a unit diagonal; the further it is "
    "above 1, the less a spectrum tells of some combination of the unknowns."
)
