"""LDMSegLib: brain tumour sub-regions from MRI by an ensemble of a latent diffusion model, with their uncertainty.

Research use only, not a medical device.
"""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # what becomes of the records is for the program that uses us to say

__version__ = "0.1.0"
GENERATOR = "LDMSeg"  # how provenance.json names us
