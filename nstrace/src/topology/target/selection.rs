//! Which namespaces are meant: TARGETs, and what restricts them.

use std::sync::Arc;

use super::{Pattern, ResolveError, Selector, Target};
use crate::topology::model::{Container, Kind, Netns, Topology};

/// TARGETs among all that `pods` and `labels` allow; all of that, if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What is meant.
    pub targets: Vec<Target>,
    /// Kubernetes pods alone.
    pub pods: Option<Pods>,
    /// What labels must be like, all of them.
    pub labels: Vec<Selector>,
}

/// Pods of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pods {
    /// Of any of its namespaces.
    OfAny,
    /// Of namespaces of this name.
    Of(Pattern),
}

impl From<Vec<Target>> for Selection {
    fn from(targets: Vec<Target>) -> Self {
        Self {
            targets,
            ..Self::default()
        }
    }
}

impl Selection {
    /// Whether it means everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.targets.is_empty() && !self.is_restricted()
    }

    /// Whether what it means is restricted, whatever its TARGETs are.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        self.pods.is_some() || !self.labels.is_empty()
    }

    /// Whether it may mean however many there are, rather than one for each TARGET.
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.targets.is_empty() || self.targets.iter().any(Target::is_pattern)
    }

    /// Whether a container is allowed.
    #[must_use]
    pub fn allows(&self, container: &Container) -> bool {
        let namespace = container
            .pod
            .as_ref()
            .and_then(|pod| pod.namespace.as_ref());
        let is_pod = match &self.pods {
            None => true,
            Some(Pods::OfAny) => namespace.is_some(),
            Some(Pods::Of(pattern)) => namespace.is_some_and(|name| pattern.matches(name)),
        };
        is_pod && self.labels.iter().all(|one| one.matches(&container.labels))
    }

    /// Whether a namespace may be meant: by the labels of its pod, or of any container in it.
    fn may_mean(&self, netns: &Netns) -> bool {
        !self.is_restricted()
            || netns
                .containers
                .iter()
                .any(|container| self.allows(container))
    }

    /// Every namespace that is meant, in the order of the graph. With TARGETs that mean nothing, or
    /// several things, for those that mean something: what is followed comes and goes.
    #[must_use]
    pub fn all<'a>(&self, topology: &'a Topology) -> Vec<&'a Arc<Netns>> {
        let allowed = self.allowed(topology);
        if self.targets.is_empty() {
            return allowed;
        }
        let meant: Vec<&Arc<Netns>> = self
            .targets
            .iter()
            .flat_map(|target| target.among(&allowed))
            .collect();
        in_order(&allowed, &meant)
    }

    /// The same, where each TARGET must mean one namespace, or be a pattern.
    ///
    /// # Errors
    ///
    /// If one means nothing, or several; or if nothing is allowed.
    pub fn resolve<'a>(&self, topology: &'a Topology) -> Result<Vec<&'a Arc<Netns>>, ResolveError> {
        let allowed = self.allowed(topology);
        if allowed.is_empty() && self.is_restricted() {
            return Err(ResolveError::NothingAllowed(self.restriction()));
        }
        let chosen = if self.targets.is_empty() {
            allowed
        } else {
            let mut meant = Vec::new();
            for target in &self.targets {
                meant.extend(target.some_among(&allowed)?);
            }
            in_order(&allowed, &meant)
        };
        Ok(chosen)
    }

    /// The one namespace that is meant.
    ///
    /// # Errors
    ///
    /// If nothing is, or several are.
    pub fn one<'a>(&self, topology: &'a Topology) -> Result<&'a Arc<Netns>, ResolveError> {
        let found = self.resolve(topology)?;
        match (&found[..], &self.targets[..]) {
            ([one], _) => Ok(one),
            (_, [target]) => Err(target.ambiguous(&found)),
            _ => Err(ResolveError::Several(found.len())),
        }
    }

    fn allowed<'a>(&self, topology: &'a Topology) -> Vec<&'a Arc<Netns>> {
        let netnses = topology.netnses.iter();
        netnses.filter(|netns| self.may_mean(netns)).collect()
    }

    /// What stands in the way, as it was typed.
    fn restriction(&self) -> String {
        let mut said = Vec::new();
        match &self.pods {
            None => {}
            Some(Pods::OfAny) => said.push("-A".to_owned()),
            Some(Pods::Of(pattern)) => said.push(format!("-n {pattern}")),
        }
        said.extend(self.labels.iter().map(|one| format!("-l {}", one.as_str())));
        said.join(" ")
    }

    /// A namespace as it is listed: of the host, which pods use that others share, only those that
    /// are allowed.
    #[must_use]
    pub fn trimmed(&self, netns: &Arc<Netns>) -> Arc<Netns> {
        if netns.kind == Kind::Host && self.is_restricted() {
            Arc::new(netns.with_guests_alone(|container| self.allows(container)))
        } else {
            Arc::clone(netns)
        }
    }
}

/// Those of `all` that are `meant`: each once, in their order.
fn in_order<'a>(all: &[&'a Arc<Netns>], meant: &[&Arc<Netns>]) -> Vec<&'a Arc<Netns>> {
    let is_meant = |netns: &&&Arc<Netns>| meant.iter().any(|one| Arc::ptr_eq(one, netns));
    all.iter().filter(is_meant).copied().collect()
}
