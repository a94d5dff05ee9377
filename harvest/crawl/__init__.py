"""The crawl engine: a Scrapy crawl that downloads, inspects and records what sources discover."""

from importlib import import_module
from threading import Thread

# For each class that these modules deprecate, Scrapy looks for the source of every frame of the call stack, which takes
# a quarter of a second behind a command line. A thread has a short stack.
_thread = Thread(target=import_module, args=("scrapy.core.downloader.contextfactory",))
_thread.start()
_thread.join()
