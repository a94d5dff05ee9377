"""The review page: a local web page for labelling photographs with the keyboard."""
