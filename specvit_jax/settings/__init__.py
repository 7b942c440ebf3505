"""Every setting of a run, its presets and files; the settings of the original system."""
