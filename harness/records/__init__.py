"""What a run stores: the types of its records, the files that hold them, and their published schemas."""
