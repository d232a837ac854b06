"""What a study is: errors, records, states, messages, rules, its space and its file. It stands on the standard library
alone.
"""
