"""LDMSegLib: brain tumour sub-regions from MRI by an ensemble of a latent diffusion model, with their uncertainty.

Research use only, not a medical device.
"""

__version__ = "0.1.0"
