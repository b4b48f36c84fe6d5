"""The test kit: inherit a contract class in your plugin's test and name your component."""
