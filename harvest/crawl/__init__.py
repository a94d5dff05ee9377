"""The engine: one Scrapy crawl that fetches what sources find, looks at it, and records every outcome."""
