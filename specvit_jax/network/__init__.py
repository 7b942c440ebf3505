"""SpecViT and the networks it is compared with."""
