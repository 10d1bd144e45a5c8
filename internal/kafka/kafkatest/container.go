package kafkatest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	dockercontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	image = "apache/kafka:" + Version
	// engineTimeout bounds the question whether Docker is there at all.
	engineTimeout = 5 * time.Second
	// containerTimeout bounds the pull of the image and the start.
	containerTimeout = 10 * time.Minute

	insidePort = 9094 // and those after it, one for each address of Config.Advertise
)

// container is a broker in Docker.
type container struct {
	testcontainers.Container
	outside []string // clients' own address, and that of each listener of Config.Advertise
}

// startContainer runs the official image. A broker tells its clients its own address, so the port that it has outside is chosen
// before it starts; that way it also keeps the port when it is killed and comes back.
func startContainer(cfg Config) (node, error) {
	bounded, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if out, err := exec.CommandContext(bounded, "docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: docker info: %w %.200s", errUnavailable, err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), containerTimeout)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	defer provider.Close() //nolint:errcheck // it was only asked for its address
	host, err := provider.DaemonHost(ctx)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	ports, err := freePorts(1 + len(cfg.Advertise))
	if err != nil {
		return nil, err
	}
	var exposed, outside []string
	bindings := network.PortMap{}
	for i, port := range ports {
		inside := fmt.Sprintf("%d/tcp", insidePort+i)
		exposed = append(exposed, inside)
		bindings[network.MustParsePort(inside)] = []network.PortBinding{{HostPort: strconv.Itoa(port)}}
		outside = append(outside, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: testcontainers.ContainerRequest{
			Image:              image,
			ExposedPorts:       exposed,
			HostConfigModifier: func(host *dockercontainer.HostConfig) { host.PortBindings = bindings },
			Env:                environment(cfg, outside),
			WaitingFor:         wait.ForExec([]string{"true"}), // whether Kafka answers is asked by whoever uses it
		},
		Started: true,
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", image, err)
	}
	return &container{c, outside}, nil
}

// environment holds all settings: the image drops its own as soon as it is given one.
func environment(cfg Config, outside []string) map[string]string {
	variables := map[string]string{"CLUSTER_ID": clusterID, "KAFKA_HEAP_OPTS": heap}
	listeners := []string{"PLAINTEXT://0.0.0.0:9092", "CONTROLLER://0.0.0.0:9093", fmt.Sprintf("OUTSIDE://0.0.0.0:%d", insidePort)}
	told := []string{"PLAINTEXT://localhost:9092", "OUTSIDE://" + outside[0]}
	for i, address := range cfg.Advertise {
		address = cmp.Or(address, outside[1+i])
		listeners = append(listeners, fmt.Sprintf("%s://0.0.0.0:%d", advertised(i), insidePort+1+i))
		told = append(told, advertised(i)+"://"+address)
	}
	for name, value := range properties(cfg, map[string]string{
		"listeners":                strings.Join(listeners, ","),
		"advertised.listeners":     strings.Join(told, ","),
		"controller.quorum.voters": "1@localhost:9093",
		"log.dirs":                 "/tmp/kafka-log",
	}) {
		variables["KAFKA_"+strings.ToUpper(variableOf.Replace(name))] = value
	}
	return variables
}

// variableOf turns a property's name into that of the image's variable.
var variableOf = strings.NewReplacer(".", "_", "_", "__", "-", "___")

func (k *container) addresses() []string { return k.outside[:1] }

func (k *container) listeners() []string { return k.outside[1:] }

func (k *container) kill() error {
	return docker("kill", "--signal", "KILL", k.GetContainerID())
}

func (k *container) start() error { return docker("start", k.GetContainerID()) }

func (k *container) pause() error { return docker("pause", k.GetContainerID()) }

func (k *container) resume() error { return docker("unpause", k.GetContainerID()) }

func (k *container) stop() error { return k.Terminate(context.Background()) }

func (k *container) log() string {
	out, err := exec.Command("docker", "logs", "--tail", "40", k.GetContainerID()).CombinedOutput() //nolint:gosec // our own words
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func docker(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput() //nolint:gosec // our own words
	if err != nil {
		return fmt.Errorf("docker %s: %w %.300s", strings.Join(args, " "), err, out)
	}
	return nil
}
