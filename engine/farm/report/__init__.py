"""How a job is going and what it gave: `job_progress`, `folder_status`, `manifest`, `notify`."""
