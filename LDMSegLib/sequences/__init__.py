"""Which image is which MR sequence: by its name, by its DICOM header, by its appearance."""
