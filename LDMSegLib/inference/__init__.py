"""From a case to its segmentation: the ensemble of members and test-time augmentation."""
