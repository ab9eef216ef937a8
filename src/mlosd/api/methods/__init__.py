"""One module per noun; a method is about five lines: take the parameters, ask the service, give the reply."""
