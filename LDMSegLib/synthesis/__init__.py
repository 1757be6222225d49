"""New tumour masks: where they are placed, which are accepted, how they are saved."""
