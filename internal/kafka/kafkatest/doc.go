// Package kafkatest gives tests a real Apache Kafka.
//
// Shared is one broker for all tests of a package, Start one for a single test, which may kill it. Each takes the first way
// that works here:
//
//  1. STAMPEDE_TEST_BROKERS: addresses of a broker that runs already;
//  2. Docker: a container of the official image;
//  3. Java 17 and Maven: the broker's jars from Maven's repository, kept under .cache, and one process that ends with the test.
//
// STAMPEDE_TEST_KAFKA=docker or =java allows that way alone: where a machine has both, each can be tried.
//
// Where none works the test is skipped with a line that says what to install. With STAMPEDE_TEST_REQUIRE_KAFKA=1, as in CI, it
// fails instead: a green run then has met a real broker.
//
// A package whose tests use Shared has a TestMain that is
//
//	func TestMain(m *testing.M) { kafkatest.Main(m) }
package kafkatest
