"""What stands behind `entromask.client.Client`: requests, retries, streams, downloads."""
