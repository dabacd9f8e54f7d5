"""All items of a job as one graph: `merged` plans what they share, `batching` joins calls into batches."""
