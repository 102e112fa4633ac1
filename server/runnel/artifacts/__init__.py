"""Where artifacts live: one protocol, a local folder or S3 behind it, and the URIs that name them."""
