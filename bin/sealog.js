#!/usr/bin/env node
// A file of its own, because npm links commands at install time, when a clone has nothing in dist yet.
import '../dist/cli/main-node.js'
