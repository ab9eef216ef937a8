"""One file per format; its docstring is the manual. `content.format` finds them by walking this package."""
