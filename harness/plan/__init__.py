"""Planning of a run: options, cells and jobs, inputs, readiness of the backends, estimates."""
