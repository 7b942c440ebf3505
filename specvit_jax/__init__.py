"""SpecViT: a Vision Transformer that reads stellar labels from one noisy spectrum."""
