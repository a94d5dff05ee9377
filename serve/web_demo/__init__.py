"""A local web page that predicts a photograph with a running server."""
