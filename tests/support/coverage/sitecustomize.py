"""Start coverage in a worker: `make coverage` puts this folder on the import path of all workers."""

import coverage

coverage.process_startup()
