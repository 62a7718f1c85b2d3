// Command cert-manager runs cert-manager's own controllers for ACME issuers: accounts, orders, challenges, certificates,
// the approver, ingress-shim and gateway-shim. Upstream's command is a nested module that no proxy carries; this one is
// written over the packages of the published module, with the names of upstream's flags.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"

	"github.com/cert-manager/cert-manager/pkg/controller"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	utilfeature "github.com/cert-manager/cert-manager/pkg/util/feature"

	// Controllers and issuer types register themselves.
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/gateways"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
)

func main() {
	var o controller.ContextOptions
	var dns01, http01, gates, disabled string
	var recursiveOnly bool
	var workers int
	klog.InitFlags(nil)
	flag.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file")
	flag.StringVar(&o.ClusterResourceNamespace, "cluster-resource-namespace", "cert-manager", "namespace of the Secrets of ClusterIssuers")
	flag.StringVar(&disabled, "without-controllers", "", "names of controllers not to run, separated by commas")
	flag.StringVar(&gates, "feature-gates", "", "Name=true,Other=false")
	flag.StringVar(&dns01, "dns01-recursive-nameservers", "", "ip:port,...")
	flag.BoolVar(&recursiveOnly, "dns01-recursive-nameservers-only", false, "do not ask the authoritative servers")
	flag.DurationVar(&o.DNS01CheckRetryPeriod, "dns01-check-retry-period", 10*time.Second, "time between two self-checks, dns-01 and http-01")
	flag.StringVar(&http01, "acme-http01-solver-nameservers", "", "ip:port,...")
	flag.DurationVar(&o.CertificateRequestMinimumBackoffDuration, "certificate-request-minimum-backoff-duration", time.Hour, "wait after the first failed request")
	flag.DurationVar(&o.CertificateRequestMaximumBackoffDuration, "certificate-request-maximum-backoff-duration", 32*time.Hour, "longest wait after failed requests")
	flag.BoolVar(&o.EnableGatewayAPI, "enable-gateway-api", false, "gateway-shim, and http-01 by HTTPRoutes")
	flag.IntVar(&o.MaxConcurrentChallenges, "max-concurrent-challenges", 60, "challenges under way at once")
	flag.IntVar(&workers, "concurrent-workers", 5, "workers of each controller")
	flag.Parse()

	o.DNS01Nameservers, o.HTTP01SolverNameservers = list(dns01), list(http01)
	o.DNS01CheckAuthoritative = !recursiveOnly
	withUpstreamsDefaults(&o)
	if err := run(o, gates, list(disabled), workers); err != nil {
		fmt.Fprintln(os.Stderr, "cert-manager:", err)
		os.Exit(1)
	}
}

func list(commas string) []string {
	if commas == "" {
		return nil
	}
	return strings.Split(commas, ",")
}

// withUpstreamsDefaults sets what upstream's command sets when nobody says otherwise. The solver's image is never
// pulled: there is no kubelet where this runs.
func withUpstreamsDefaults(o *controller.ContextOptions) {
	o.HTTP01SolverImage = "acmesolver.invalid/acmesolver"
	o.HTTP01SolverResourceRequestCPU = resource.MustParse("10m")
	o.HTTP01SolverResourceRequestMemory = resource.MustParse("64Mi")
	o.HTTP01SolverResourceLimitsCPU = resource.MustParse("100m")
	o.HTTP01SolverResourceLimitsMemory = resource.MustParse("64Mi")
	o.ACMEHTTP01SolverRunAsNonRoot = true
	o.CopiedAnnotationPrefixes = []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"}
	o.DefaultIssuerKind, o.DefaultIssuerGroup = "Issuer", "cert-manager.io"
	o.DefaultAutoCertificateAnnotations = []string{"kubernetes.io/tls-acme"}
	o.KubernetesAPIQPS, o.KubernetesAPIBurst = 20, 50
	o.IssuerAmbientCredentials = false
}

func run(o controller.ContextOptions, gates string, disabled []string, workers int) error {
	logf.InitLogs()
	defer logf.FlushLogs()
	if gates != "" {
		if err := utilfeature.DefaultMutableFeatureGate.Set(gates); err != nil {
			return err
		}
	}
	root, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root = logf.NewContext(root, logf.Log)
	factory, err := controller.NewContextFactory(root, o)
	if err != nil {
		return err
	}
	base, err := factory.Build()
	if err != nil {
		return err
	}

	known := controller.Known()
	enabled := sets.KeySet(known).Delete(disabled...)
	if !base.GatewaySolverEnabled {
		enabled.Delete("gateway-shim")
	}
	klog.InfoS("starting", "controllers", sets.List(enabled))
	var group sync.WaitGroup
	failures := make(chan error, len(enabled))
	for _, name := range sets.List(enabled) {
		made, err := known[name](factory)
		if err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
		group.Go(func() {
			if err := made.Run(workers, root); err != nil {
				failures <- fmt.Errorf("controller %s: %w", name, err)
				stop()
			}
		})
	}
	base.SharedInformerFactory.Start(root.Done())
	base.KubeSharedInformerFactory.Start(root.Done())
	base.HTTP01ResourceMetadataInformersFactory.Start(root.Done())
	if base.GatewaySolverEnabled {
		base.GWShared.Start(root.Done())
	}
	group.Wait()
	close(failures)
	return <-failures
}
