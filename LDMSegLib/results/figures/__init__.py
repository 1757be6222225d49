"""The pictures that come with a result: report, montage, steps of the preparation."""
