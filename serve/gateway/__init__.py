"""The public HTTP server in front of a prediction engine (TorchServe or LitServe).

It accepts the same requests, tokens and health checks whatever engine predicts, answers errors in one form, and ends
without cutting a request.
"""
