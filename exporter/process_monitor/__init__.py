"""The process monitor's config.ini, read as our own configuration: `watchbridge import config.ini`.

Nothing of it is run or looked for: what the file says becomes data, each mistake a sentence with its line.
"""
