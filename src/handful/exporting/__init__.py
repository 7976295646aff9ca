"""Models in other forms: an ONNX file, a web page, a Space, a repository on the Hub.

May import everything but ``cli``. The packages of the extra ``export`` are imported where they are used.
"""
