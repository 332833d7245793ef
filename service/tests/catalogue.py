"""What the tests' shop sells."""

CATALOGUE = """
INSERT INTO products (id, sku, name, category, price, stock) VALUES
('019b76da-a800-7000-8000-000000000001', 'TEA-GREEN-100', 'Green tea, 100 g', 'tea', 7.90, 120),
('019b76da-a800-7000-8000-000000000002', 'TEA-BLACK-100', 'Black tea, 100 g', 'tea', 6.50, 200),
('019b76da-a800-7000-8000-000000000003', 'TEA-ROOIBOS-250', 'Rooibos, 250 g', 'tea', 9.20, 80),
('019b76da-a800-7000-8000-000000000004', 'POT-800', 'Stoneware pot, 0.8 l', 'teaware', 34.00, 25),
('019b76da-a800-7000-8000-000000000005', 'CUP-200', 'Stoneware cup, 0.2 l', 'teaware', 11.50, 150),
('019b76da-a800-7000-8000-000000000006', 'KETTLE-1200', 'Steel kettle, 1.2 l', 'teaware', 58.00, 12)
"""
