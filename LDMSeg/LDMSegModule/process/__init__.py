"""The process that does the work beside Slicer: started, followed, stopped."""
