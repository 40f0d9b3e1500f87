"""What readers of text and records share: lines, numbers, tables, labels."""
