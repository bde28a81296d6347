"""The main job, end to end: environments, verification, jobs, evaluation and records; inference and conformance too."""
