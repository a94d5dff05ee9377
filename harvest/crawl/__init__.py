"""The crawl engine: a Scrapy crawl that downloads, inspects and records what sources discover."""
