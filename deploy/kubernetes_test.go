package deploy_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// serviceMonitor is what we use of the Prometheus operator's type. Its module would bring controller-runtime and some more for these few fields.
type serviceMonitor struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       struct {
		JobLabel string `yaml:"jobLabel"`
		Selector struct {
			MatchExpressions []struct {
				Key, Operator string
				Values        []string
			} `yaml:"matchExpressions"`
		}
		Endpoints []struct {
			Port, Interval string
			Relabelings    []struct {
				SourceLabels []string `yaml:"sourceLabels"`
				TargetLabel  string   `yaml:"targetLabel"`
			}
		}
	}
}

// manifests is everything in deploy/kubernetes, by kind and name.
type manifests struct {
	sets     map[string]*appsv1.StatefulSet
	services map[string]*corev1.Service
	configs  map[string]*corev1.ConfigMap
	budgets  map[string]*policyv1.PodDisruptionBudget
	policies map[string]*networkingv1.NetworkPolicy
	monitors []serviceMonitor
}

// decode reads documents as an API server does that allows no unknown field, no field twice and no value of another type.
func (m *manifests) decode(from string, text []byte) (errs []error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return []error{err}
		}
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for i, document := range bytes.Split(text, []byte("\n---\n")) {
		where := fmt.Sprintf("%s: document %d", from, i+1)
		if bytes.Contains(document, []byte("kind: ServiceMonitor")) {
			var monitor serviceMonitor
			if err := yaml.UnmarshalWithOptions(document, &monitor, yaml.Strict()); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
			}
			if monitor.APIVersion != "monitoring.coreos.com/v1" || monitor.Metadata.Namespace != "stampede" {
				errs = append(errs, fmt.Errorf("%s: apiVersion %q, namespace %q", where, monitor.APIVersion, monitor.Metadata.Namespace))
			}
			m.monitors = append(m.monitors, monitor)
			continue
		}
		object, _, err := strict.Decode(document, nil, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
			continue
		}
		name, namespace := "", ""
		switch o := object.(type) {
		case *appsv1.StatefulSet:
			m.sets[o.Name], name, namespace = o, o.Name, o.Namespace
		case *corev1.Service:
			m.services[o.Name], name, namespace = o, o.Name, o.Namespace
		case *corev1.ConfigMap:
			m.configs[o.Name], name, namespace = o, o.Name, o.Namespace
		case *policyv1.PodDisruptionBudget:
			m.budgets[o.Name], name, namespace = o, o.Name, o.Namespace
		case *networkingv1.NetworkPolicy:
			m.policies[o.Name], name, namespace = o, o.Name, o.Namespace
		case *corev1.Namespace:
			name, namespace = o.Name, o.Name
		default:
			errs = append(errs, fmt.Errorf("%s: nothing looks at a %T", where, o))
			continue
		}
		if name == "" || namespace != "stampede" {
			errs = append(errs, fmt.Errorf("%s: name %q, namespace %q", where, name, namespace))
		}
	}
	return errs
}

func newManifests() *manifests {
	return &manifests{
		sets: map[string]*appsv1.StatefulSet{}, services: map[string]*corev1.Service{}, configs: map[string]*corev1.ConfigMap{},
		budgets: map[string]*policyv1.PodDisruptionBudget{}, policies: map[string]*networkingv1.NetworkPolicy{},
	}
}

func readManifests(t *testing.T) *manifests {
	t.Helper()
	m := newManifests()
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if path.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range m.decode(file, text) {
			t.Error(err)
		}
	}
	if len(m.sets) != 2 || len(m.monitors) != 1 || len(m.budgets) != 2 {
		t.Fatalf("not everything was found: %d stateful sets, %d service monitors, %d disruption budgets", len(m.sets), len(m.monitors), len(m.budgets))
	}
	return m
}

func TestKustomizationHasEveryManifest(t *testing.T) {
	text, err := os.ReadFile("kubernetes/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		APIVersion, Kind, Namespace string
		Resources                   []string
		Images                      []struct{ Name, NewName, NewTag string }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var there []string
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if path.Base(file) != "kustomization.yaml" {
			there = append(there, path.Base(file))
		}
	}
	slices.Sort(file.Resources)
	if diff := cmp.Diff(there, file.Resources); diff != "" {
		t.Errorf("what is there and what the kustomization names (-there +named):\n%s", diff)
	}
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("kubectl is not here: what it makes of the kustomization is not looked at")
	}
	built, err := exec.Command(kubectl, "kustomize", "kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	m := newManifests()
	for _, err := range m.decode("kubectl kustomize", built) {
		t.Error(err)
	}
	for name, set := range m.sets {
		if image := set.Spec.Template.Spec.Containers[0].Image; image != "stampede:latest" {
			t.Errorf("%s: the kustomization does not set the image: %s", name, image)
		}
	}
	if len(m.sets) != 2 {
		t.Errorf("%d stateful sets were built", len(m.sets))
	}
}

func TestEveryPodIsConfined(t *testing.T) {
	for name, set := range readManifests(t).sets {
		pod := set.Spec.Template.Spec
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 || s.FSGroup == nil ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod's security context is %v", name, s)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s has a token for the API server, which it does not need", name)
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: the container's security context is %v", name, s)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() || !c.Resources.Limits.Memory().Equal(*c.Resources.Requests.Memory()) {
				t.Errorf("%s: it asks for %v, its limits are %v", name, c.Resources.Requests, c.Resources.Limits)
			}
		}
	}
}

// A pod is killed when it is not alive, however long it restores; and it is ready when it works on all that it has.
func TestProbesAskWhatTheyAreFor(t *testing.T) {
	for name, set := range readManifests(t).sets {
		c := set.Spec.Template.Spec.Containers[0]
		for _, p := range []struct {
			kind  string
			probe *corev1.Probe
			path  string
		}{{"startup", c.StartupProbe, "/healthz"}, {"liveness", c.LivenessProbe, "/healthz"}, {"readiness", c.ReadinessProbe, "/readyz"}} {
			if p.probe == nil || p.probe.HTTPGet == nil || p.probe.HTTPGet.Path != p.path || p.probe.HTTPGet.Port.StrVal != "metrics" {
				t.Errorf("%s: the %s probe is %v, and should ask for %s at the port metrics", name, p.kind, p.probe, p.path)
			}
		}
		if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
			t.Errorf("%s: one pod that does not get ready would keep the others from starting, and a correction from being rolled out", name)
		}
		if grace := set.Spec.Template.Spec.TerminationGracePeriodSeconds; grace == nil || *grace < 30 {
			t.Errorf("%s has no time for an orderly end", name)
		}
	}
}

// What the programs are told fits what they are given: names, volumes, settings and ports.
func TestPodsFitThePrograms(t *testing.T) {
	m, known := readManifests(t), variables(t)
	for name, set := range m.sets {
		pod := set.Spec.Template.Spec
		c := pod.Containers[0]
		told, ports := map[string]string{}, map[string]int32{}
		for _, port := range c.Ports {
			ports[port.Name] = port.ContainerPort
		}
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef == nil || m.configs[from.ConfigMapRef.Name] == nil {
				t.Errorf("%s: settings from %v, which is not here", name, from)
				continue
			}
			maps.Copy(told, m.configs[from.ConfigMapRef.Name].Data)
		}
		for _, e := range c.Env {
			told[e.Name] = e.Value
			if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
				told[e.Name] = "of " + e.ValueFrom.FieldRef.FieldPath
			}
		}
		for variable := range told {
			if strings.HasPrefix(variable, "STAMPEDE_") && !known[variable] {
				t.Errorf("%s: no program knows %s", name, variable)
			}
		}
		on := map[string]string{} // what is mounted, by its place
		for _, mount := range c.VolumeMounts {
			on[mount.MountPath] = mount.Name
		}
		for _, volume := range pod.Volumes {
			if volume.ConfigMap != nil && m.configs[volume.ConfigMap.Name] == nil {
				t.Errorf("%s: there is no ConfigMap %s", name, volume.ConfigMap.Name)
			}
		}
		claimed := func(place string) {
			t.Helper()
			volume := on[path.Dir(place)]
			if !slices.ContainsFunc(set.Spec.VolumeClaimTemplates, func(claim corev1.PersistentVolumeClaim) bool { return claim.Name == volume }) {
				t.Errorf("%s: %q is on no volume that outlives the pod", name, place)
			}
		}
		listens := func(variable, port string) {
			t.Helper()
			if want := fmt.Sprintf("0.0.0.0:%d", ports[port]); told[variable] != want {
				t.Errorf("%s: %s is %q, and port %s is %s", name, variable, told[variable], port, want)
			}
		}
		switch name {
		case "processor":
			claimed(told["STAMPEDE_STATE"])
			listens("STAMPEDE_LISTEN", "metrics")
			if told["STAMPEDE_INSTANCE"] != "of metadata.name" {
				t.Errorf("the processor's name in the group is %q: it has to be the pod's, which stays", told["STAMPEDE_INSTANCE"])
			}
			if on[told["STAMPEDE_CAMPAIGNS"]] != "campaigns" {
				t.Errorf("campaigns are read from %q, and mounted are %v", told["STAMPEDE_CAMPAIGNS"], on)
			}
			partitions, err := strconv.Atoi(told["STAMPEDE_PARTITIONS"])
			if err != nil || int(*set.Spec.Replicas) > partitions {
				t.Errorf("%d processors share %q partitions: some would never be ready", *set.Spec.Replicas, told["STAMPEDE_PARTITIONS"])
			}
		case "gateway":
			claimed(told["STAMPEDE_GATEWAY_SPOOL"])
			listens("STAMPEDE_GATEWAY_LISTEN", "events")
			listens("STAMPEDE_GATEWAY_ADMIN_LISTEN", "metrics")
			if on[path.Dir(told["STAMPEDE_GATEWAY_KEYS"])] != "keys" {
				t.Errorf("keys are read from %q, and mounted are %v", told["STAMPEDE_GATEWAY_KEYS"], on)
			}
		}
	}
}

func TestServicesAndBudgetsSelectThePods(t *testing.T) {
	m := readManifests(t)
	for name, set := range m.sets {
		pod := labels.Set(set.Spec.Template.Labels)
		selects := func(what string, s *metav1.LabelSelector) {
			t.Helper()
			selector, err := metav1.LabelSelectorAsSelector(s)
			if err != nil || selector.Empty() || !selector.Matches(pod) {
				t.Errorf("%s: %s selects %v, and not its pods, which have %v (%v)", name, what, s, pod, err)
			}
		}
		selects("the set", set.Spec.Selector)
		if budget := m.budgets[name]; budget == nil {
			t.Errorf("%s has no disruption budget", name)
		} else {
			selects("the disruption budget", budget.Spec.Selector)
			if budget.Spec.UnhealthyPodEvictionPolicy == nil || *budget.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
				t.Errorf("%s: a pod that does not get ready would keep its node from being emptied", name)
			}
		}
		headless := m.services[set.Spec.ServiceName]
		if headless == nil || headless.Spec.ClusterIP != corev1.ClusterIPNone || !labels.SelectorFromSet(headless.Spec.Selector).Matches(pod) {
			t.Errorf("%s: service %s is no headless one for its pods", name, set.Spec.ServiceName)
		}
	}
	for name, s := range m.services {
		for _, port := range s.Spec.Ports {
			found := false
			for _, set := range m.sets {
				if labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(set.Spec.Template.Labels)) {
					found = slices.ContainsFunc(set.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.StrVal })
				}
			}
			if !found {
				t.Errorf("service %s leads to no port %s", name, port.TargetPort.String())
			}
		}
	}
	// The operator finds the services by their labels, and the alerts ask for jobs of these names.
	monitor := m.monitors[0].Spec
	for _, name := range []string{"stampede-processor", "stampede-gateway"} {
		expression := monitor.Selector.MatchExpressions[0]
		watched := slices.ContainsFunc([]*corev1.Service{m.services["processor"], m.services["gateway-pods"]}, func(s *corev1.Service) bool {
			return s.Labels[monitor.JobLabel] == name && s.Labels[expression.Key] == name && s.Spec.Ports[0].Name == monitor.Endpoints[0].Port
		})
		if !watched || expression.Operator != "In" || !slices.Contains(expression.Values, name) {
			t.Errorf("the service monitor finds no service of %s: %+v", name, monitor)
		}
	}
}

// Nobody reaches a pod, and a pod reaches nobody, unless another policy says so.
func TestTheNetworkIsClosed(t *testing.T) {
	m := readManifests(t)
	closed := m.policies["nobody"]
	if closed == nil || len(closed.Spec.PodSelector.MatchLabels)+len(closed.Spec.PodSelector.MatchExpressions) != 0 || len(closed.Spec.PolicyTypes) != 2 ||
		len(closed.Spec.Ingress)+len(closed.Spec.Egress) != 0 {
		t.Errorf("the policy that closes all is %+v", closed)
	}
	for name, p := range m.policies {
		for _, rule := range p.Spec.Egress {
			if len(rule.To) == 0 || len(rule.Ports) == 0 {
				t.Errorf("%s lets pods reach everybody: %+v", name, rule)
			}
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.Ports) == 0 || len(rule.From) == 0 && p.Spec.PodSelector.MatchLabels["app.kubernetes.io/name"] != "stampede-gateway" {
				t.Errorf("%s lets everybody in: %+v", name, rule)
			}
		}
	}
}

func TestCampaignsOfTheConfigMapAreRight(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range readManifests(t).configs["campaigns"].Data {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	campaigns, err := campaign.Load(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(campaigns.Campaigns()); n != 1 {
		t.Errorf("%d campaigns", n)
	}
}
