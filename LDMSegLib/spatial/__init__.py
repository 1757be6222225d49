"""Volumes and the grids they lie on: affines, resampling, the model's grid and the atlas space. All geometry is here."""
