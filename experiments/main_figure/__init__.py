"""The main job, both R2-SNR figures: what it took, and how fast the machine is."""
