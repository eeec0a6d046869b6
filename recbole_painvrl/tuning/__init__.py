"""Search of settings on IID and OOD validation together; no trial reads a test set."""
