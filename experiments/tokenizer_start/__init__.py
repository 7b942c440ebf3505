"""Does the start decide whether the sliding-window tokenizer trains? Token strengths, R2 of log g by step."""
