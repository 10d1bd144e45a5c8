// Package endtoend has only tests: processor processes, as an operator starts them, on a real Apache Kafka, killed at
// random moments, and judged. The package judge holds the comparison.
package endtoend
