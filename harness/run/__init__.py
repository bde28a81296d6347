"""The main job, end to end: inputs, verification, measured jobs, evaluation, records."""
