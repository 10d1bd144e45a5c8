// Package endtoend has only tests: processor processes, as an operator starts them, on a real Apache Kafka, killed at
// random moments, and judged; and the containers of docker-compose.yml. The package judge holds the comparison.
package endtoend
