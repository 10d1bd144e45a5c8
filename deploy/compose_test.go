package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

// service is what the tests look at of a service of docker-compose.yml.
type service struct {
	Image       string
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	MemLimit    string   `yaml:"mem_limit"`
	CPUs        float64  `yaml:"cpus"`
	PidsLimit   int      `yaml:"pids_limit"`
	Restart     string
	Profiles    []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	Healthcheck struct {
		Test    []string
		Disable bool
	}
}

type composition struct {
	Services map[string]service
	Volumes  map[string]any
}

func readCompose(t *testing.T) (c composition) {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) < 7 {
		t.Fatalf("only %d services were read", len(c.Services))
	}
	return c
}

// variables are the environment's variables that the programs have flags for.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	declared, known := regexp.MustCompile(`env:"(STAMPEDE_\w+)"`), map[string]bool{}
	for _, dir := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range declared.FindAllSubmatch(text, -1) {
				known[string(found[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(known) < 20 {
		t.Fatalf("only %d variables were found", len(known))
	}
	return known
}

func TestEveryContainerIsConfined(t *testing.T) {
	for name, s := range readCompose(t).Services {
		if s.User == "" || s.User == "root" || strings.HasPrefix(s.User, "0") {
			t.Errorf("%s runs as root: user %q", name, s.User)
		}
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may write into its root file system, or has capabilities, or can gain privileges", name)
		}
		if s.MemLimit == "" || s.CPUs == 0 || s.PidsLimit == 0 {
			t.Errorf("%s has no limit of memory, processors or processes", name)
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s does not come back: restart %q", name, s.Restart)
		}
		if !regexp.MustCompile(`:v?\d+(\.\d+)+$`).MatchString(s.Image) && s.Image != "${STAMPEDE_IMAGE:-stampede:latest}" {
			t.Errorf("%s: the image %s is of no certain version", name, s.Image)
		}
		// The generator serves nothing that could be asked.
		if len(s.Healthcheck.Test) == 0 && name != "generator" {
			t.Errorf("%s has no health check", name)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, port)
			}
		}
	}
}

func TestWhatIsMountedIsThere(t *testing.T) {
	c, used := readCompose(t), map[string]bool{}
	given := regexp.MustCompile(`^\$\{\w+:-(.*?)\}`) // what a variable is where it is not set
	for name, s := range c.Services {
		for _, volume := range s.Volumes {
			from, to, ok := strings.Cut(given.ReplaceAllString(volume, "$1"), ":")
			if !ok {
				t.Errorf("%s: volume %s has no place", name, volume)
			}
			if !strings.HasPrefix(from, "./") {
				used[from] = true
				if _, ok := c.Volumes[from]; !ok {
					t.Errorf("%s: volume %s is not declared", name, from)
				}
				continue
			}
			if _, err := os.Stat(filepath.Join("..", from)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.HasSuffix(to, ":ro") {
				t.Errorf("%s may write into the repository: %s", name, volume)
			}
		}
	}
	for name := range c.Volumes {
		if !used[name] {
			t.Errorf("volume %s is nobody's", name)
		}
	}
}

func TestComposeFitsThePrograms(t *testing.T) {
	c, known := readCompose(t), variables(t)
	instances := map[string]string{}
	for name, s := range c.Services {
		for variable := range s.Environment {
			if strings.HasPrefix(variable, "STAMPEDE_") && !known[variable] {
				t.Errorf("%s: no program knows %s", name, variable)
			}
		}
		if instance := s.Environment["STAMPEDE_INSTANCE"]; instance != "" {
			if other := instances[instance]; other != "" {
				t.Errorf("%s and %s have the same name in the group: %s", name, other, instance)
			}
			instances[instance] = name
		}
		if s.Profiles != nil && name != "generator" {
			t.Errorf("%s is started only with a profile", name)
		}
	}
	if len(instances) != 2 {
		t.Errorf("the processors with names are %v", instances)
	}
	if !slices.Equal(c.Services["generator"].Profiles, []string{"demo"}) {
		t.Error("the generator is not of the profile demo")
	}
	if image := c.Services["kafka"].Image; image != "apache/kafka:"+kafkatest.Version {
		t.Errorf("%s is not the Kafka that the tests meet, %s", image, kafkatest.Version)
	}
}

// Prometheus scrapes each of the programs, at the ports at which they were told to serve.
func TestPrometheusScrapesWhatRuns(t *testing.T) {
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var scraped, served []string
	for _, job := range file.ScrapeConfigs {
		for _, static := range job.StaticConfigs {
			scraped = append(scraped, static.Targets...)
		}
	}
	for name, s := range readCompose(t).Services {
		for _, variable := range []string{"STAMPEDE_LISTEN", "STAMPEDE_GATEWAY_ADMIN_LISTEN"} {
			if port, ok := strings.CutPrefix(s.Environment[variable], "0.0.0.0:"); ok {
				served = append(served, name+":"+port)
			}
		}
	}
	slices.Sort(scraped)
	slices.Sort(served)
	if !slices.Equal(scraped, served) {
		t.Errorf("Prometheus scrapes %v, and metrics are served at %v", scraped, served)
	}
}
