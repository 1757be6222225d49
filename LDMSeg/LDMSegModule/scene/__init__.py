"""Volumes, geometry, masks and colours of the MRML scene."""
