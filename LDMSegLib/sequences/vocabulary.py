"""The words that scanners, technicians and file names use, by what they mean for a sequence.

Words are in lower case without accents (see `text`): "après" is "apres", "öncesi" is "oncesi". Languages: English, German, French,
Spanish, Italian, Portuguese, Dutch, Polish, Turkish, Russian (transliterated), Swedish, Norwegian, Danish and romanised Japanese.
Compiled by us from what vendors' protocol trees and public protocol lists commonly contain.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- which weighting -----------------------------------------------------------------------------------------------------------------

T1 = _words("t1 t1w t1wi t1weighted t1wt t1gew t1gewichtet t1se t1tse t1ffe t1tfe t1vibe t1mprage t1mpr t1space t1spc t1cube t1fse")
T2 = _words("t2 t2w t2wi t2weighted t2wt t2gew t2gewichtet t2tse t2fse t2se t2frfse t2propeller t2blade")
FLAIR = _words("flair flairs flr eflair vflair t2flair t2wflair flairt2 3dflair darkfluid tirmdf fluidattenuated")
PROTON_DENSITY = _words("pd pdw pdwi dp pdt2 rho proton protonen protonendichte densite densidad densita pdt")

# Counted only where no word above is there: sequences that are nearly always run with one weighting.
WEAK_T1 = _words(
    "mprage mp2rage unit1 bravo spgr fspgr irspgr irfspgr efgre3d efgre tfl tfl3d tfl2d tfe vibe lava thrive turboflash memprage "
    "starvibe 3dmprage"
)
WEAK_T2 = _words("frfse haste ssfse")
WEAK_FLAIR = _words("fl tirm spcir spacer tir2d spaceflair")
# Beside "t2" these make it a FLAIR: an inversion that nulls fluid.
FLUID_NULLED = _words("fl df tirm ir darkfluid spcir flair fluid tir da")
# Beside "t2" these make it a T2*: a gradient echo has no T2.
GRADIENT_ECHO = _words("gre ffe flash fl2d fl3d fe fe2d fe3d fgre merge grass eg gradient gradienten gradiente gradientecho gradienti")

# --- other kinds of image: none of the structural sequences, whatever else is said ---------------------------------------------------

OTHER = {
    "a localizer or calibration": _words(
        "localizer localiser locator loc lokalizer scout scouts survey surview topogram topo plane 3plane threeplane triplane aahead "
        "aahscout aascout smartbrain calibration cal calib asset refscan senseref coilsens coilsurvey shim b0map b1map fieldmap fmap "
        "fieldmapping prescan sbref lokalisator lokator ubersicht uebersicht pilot reperage topogramme scanogram scanogramme scano"
    ),
    "diffusion": _words(
        "adc eadc dadc dwi dw dti dmri dsi hardi noddi tensor trace tracew trw ep2d ep3d epi ssepi diff diffusion difusion difusao "
        "diffusione diffusie diffusjon dyfuzja difuzyon diffuziya diffuzija dwibs ivim resolve colfa faweighted rdwi msdwi dki fiber "
        "tractography traktographie ddwi kakusan fractional aniso anisotropy"
    ),
    "susceptibility-weighted or T2*": _words(
        "swi swan swip swim venbold bsi minip mip t2star t2stern t2s r2star r2s medic hemo haemo hemosiderin qsm fieldecho "
        "susceptibility suszeptibilitat sws pha heme hemorrhage blut"
    ),
    "perfusion": _words(
        "perf perfusion perfusie perfusione perfuzja perfuzyon perfusao perfuziya perfuzija pwi dsc dce asl pcasl pasl casl 3dasl cbf "
        "cbv rcbv rcbf rmtt mtt ttp tmax tmip ktrans kep permeability pbp gbp leakage bolus dyn dynamic dynamique dinamico dinamica "
        "dynamisch dynamik twist iauc timetopeak rbv rbf relcbv relmtt relcbf"
    ),
    "angiography": _words(
        "tof mra mrv mrangio angio angiography angiographie angiografia angiografie venography venographie pca pcmra inhance cemra "
        "trance arteries arterien carotid carotids willis venen sinusvenen vessels phlebo venc"
    ),
    "a subtraction": _words(
        "delta dt1 sub subs subtr subtraction subtracted subtract subtraktion subtraktie soustraction sustraccion substraccion sottrazione "
        "subtracao subtrakcja subtraktsiya cikarma difference"
    ),
    "a quantitative map": _words(
        "qt1 qt2 relaxation map maps mapping mapa mappa karte karten t1map t2map molli shmolli relaxometry quantitative t1rho r1 r2 "
        "hifi despot "
        "fingerprinting mrf inv1 inv2 symri"
    ),
    "spectroscopy": _words("csi mrs mrsi svs press steam spectroscopy spectroscopie spektroskopie spectro lcmodel"),
    "functional imaging": _words("fmri bold func resting restingstate rsfmri fingertapping fct funktionell"),
    "a sequence for fluid and nerves": _words("ciss fiesta fiestac trufi truefisp bssfp bffe balanced myelo myelography cisterno csfflow"),
    "an inversion recovery of another kind": _words("stir dir psir tirstir wair fgatir"),
    "a screen capture, report or derived display": _words(
        "screensave screenshot screen report snapshot dose protocol rgb fusion fused vrt vr render rendering summary results processed "
        "physiolog physio phoenixzipreport posdisp mosaic"
    ),
    "a field, not an image": _words("warp warpfield 1warp biasfield displacement displacements dfield jacobian jacobians logjacobian"),
    "a CT or PET image": _words("ct cct pet fdg fet spect"),
}
"""What kind of image → the words that tell it."""

OTHER_STARTS = {
    **dict.fromkeys(("subtra", "substra", "soustr", "sottra"), "a subtraction"),
    **dict.fromkeys(("diffus", "difus", "dyfuz", "tractogr", "traktogr"), "diffusion"),
    **dict.fromkeys(("perfus", "perfuz"), "perfusion"),
    **dict.fromkeys(("angiogr", "venogra", "arteriogr"), "angiography"),
    **dict.fromkeys(("spectrosc", "spektrosk", "espectrosc", "spettrosc"), "spectroscopy"),
    **dict.fromkeys(("localiz", "localis", "lokalis", "lokaliz", "reperag"), "a localizer or calibration"),
    **dict.fromkeys(("suscept", "suszept"), "susceptibility-weighted or T2*"),
}
"""How such words begin in most languages."""

STAR = _words("star stern etoile estrella estrela stella asterisco asterisk sternchen gwiazdka gwiazda yildiz ster stjarna stjerne zvezda")
"""The star of T2* written out: it counts beside "t2"."""

ANOTHER_PART = _words(
    "spine spinal cspine tspine lspine hws bws lws cervical thoracic lumbar rachis columna colonna wervelkolom kregoslup neck hals cou "
    "cuello collo pescoco orbit orbits orbita orbitas orbite orbiten iac iacs cai pituitary sella hypophyse hypophysis ipofisi hipofise "
    "hipofisis hypofyse przysadka hipofiz felsenbein oreille temporalbone tmj abdomen liver pelvis prostate knee shoulder breast heart "
    "cord spinalcord myelon holocord gws ruckenmark rueckenmark hip hips ankle wrist elbow thigh femur tibia humerus chest thorax lung "
    "kidney kidneys uterus rectum bladder pancreas mrcp parotid "
    "larynx pharynx nasopharynx sinuses mandible maxilla plexus sacrum sacroiliac schulter knie huefte hufte sprunggelenk fuss ellenbogen "
    "becken leber niere nieren herz mamma oberschenkel unterschenkel handgelenk isg wirbelsaule wirbelsaeule nnh gelenk epaule genou "
    "hanche cheville poignet coude bassin foie lombaire dorsolombaire hombro rodilla cadera tobillo muneca codo higado rinon corazon "
    "lumbosacra spalla ginocchio anca caviglia polso gomito bacino fegato cuore lombare lombosacrale ombro joelho quadril tornozelo "
    "cotovelo figado coracao schouder heup enkel elleboog bekken kolano biodro miednica watroba omuz kalca karaciger boyun kalp servikal "
    "lomber torakal plecho koleno pozvonochnik poyasnichnyj shejnyj grudnoj szyja szyjny ledzwiowy piersiowy rygg nacke hofte skulder"
)
SUPPRESSED = _words(
    "sat sup supp supr suppr suppressed suppression saturated saturation saturacion saturacao saturazione saturiert sat3d free null nulled "
    "unterdruckt unterdrueckt soppressione supresion supressao wrap"
)
"""After "fat" these make it a fat-suppressed image and not one of fat."""
BRAIN = _words(
    "brain head neuro cerebral kopf schadel schaedel hirn gehirn cerveau tete crane cerebro cabeza craneo encefalo cabeca cranio "
    "hersenen hoofd schedel mozg glowa beyin kafa mozga golovy golova hjarna hjerne huvud hoved atama tounbu toubu nou skull"
)

# --- contrast agent ------------------------------------------------------------------------------------------------------------------

AGENT = _words(
    "gd gad ce km mdc pdc contr contra contrst ctst ctrst cntr cont ivkm kontrasti agent agente bolusgd magnevist dotarem prohance "
    "multihance omniscan clariscan primovist eovist vueway elucirem optimark ablavar vasovist artirem dotagita magnograf feraheme "
    "ferumoxytol dtpa zoei zouei zoueizai mezzo injection injektion iniezione inyeccion injecao injektie inj inject injected injecte "
    "injectee injiziert inyectado injetado vvedeniya vvedenie kontrastirovaniya kontrastirovanie kontrastirovannyj usileniya usileniem "
    "usilenie kva ku kl cm mc con sk srodka srodek srodkiem cte kv civ bopta do3a dota bma srodku"
)
AGENT_STARTS = ("gado", "gada", "gdd", "gdbt", "gdbo", "contrast", "kontras", "kontrast", "enhanc", "tehoste")
# What may follow "contrast" or "kontrast" in one word without a doubt that an agent is meant.
AGENT_ENDINGS = re.compile(
    r"[ck]ontras(t|zt|c)?(|[aeiouy]|s|ed|ado|ada|at[oa]|ie|em|om|li|lu|um|os|anyag\w*|medi\w*|mittel\w*|mid+el\w*|medel\w*|vloeistof|gabe|"
    r"verstae?rkt|enhanced|agent|irovan\w*|ierte?|erad|n\w{1,3})"
)
# These count only beside a word or sign that says with, without, before or after.
WEAK_AGENT = _words("c kl cm mc con cont sk iv k agent mezzo")

# Each says that no agent was given in one word.
UNENHANCED = _words(
    "unenhanced nonenhanced noncontrast nocontrast precontrast pregd pregad pregado nce ncon unenh noenh kontrastsiz kontrastfri "
    "kontrastlos ungadded unverstarkt unverstaerkt kontrastfrei kontrastita kontrastiton kontrastmittelfrei contrastfree hizoei hizouei "
    "beskontrastnyj beskontrastnoe beskontrastno nieenhanced woc nonc"
)
ENHANCED = _words(
    "enhanced enh enhance enhancement augmented verstarkt verstaerkt realce realzado contrastado contrastada rehausse kontrastli wc"
)

WITHOUT = _words(
    "without wo wout no non not none nil w0 ohne kein keine keinen nein sans sin sem nao senza zonder geen bez brak nie utan uden uten "
    "ikke inte ingen yok olmadan nashi nasi minus negative neg un ilman nelkul fara pas net o free frei siz suz nicht bezo sine"
)
WITH = _words("with mit avec com met med plus ile ari aru positive z ze s w con m sa so cum")
BEFORE = _words(
    "pre pree previo previa previamente prima vor vorher prae pra avant antes before bef prior przed oncesi oncesinde once innan fore "
    "foer forut mae do voor prekm native nativ nativo nativa natif natywne natywny natywna nativnyj nativnoe nativno nativnaya plain "
    "plan baseline basal basale basaal blanco blanko blank simple leer leeraufnahme tanjun tanjyun sade prekontrast predkontrast basali "
    "diretta diretto dirette ante avt zoeimae zoueimae v nativnye prije inainte"
)
AFTER = _words(
    "apr following luego posterior post poste nach nachher apres tras despues dopo apos pos after aft afterwards sonra sonrasi "
    "sonrasinda posle efter etter na po go "
    "ato delayed delay late spaet spat tardif tardive tardivo tardio postkontrast postinj posadministration pozdnie ap n zoeigo zoueigo "
    "nacontrast nakontrast spataufnahme spaetaufnahme depois pozniej nakon wonach"
)
# Of the words above, those that mean too much else: they count only directly beside an agent.
WEAK_OPERATORS = _words(
    "posterior apr pas ante do na po go ato voor for once z s w m o tras con med sa so met com ile ari aru no non not nie net prima un "
    "plan v n ap siz suz"
)
# Of these, those that are an article or preposition beside a clearer word in front of them.
ALSO_ARTICLES = _words("do o na a un for go po")
BOTH = _words("wwo withandwithout prepost prepostcontrast avecsans mitohne bilan")
AND = _words("and und et e y i en og och ve amp u oraz slash")
# May stand between an operator and its agent: "before injection of Gd", "avant l injection de gado", "po podaniu kontrastu".
ARTICLE = _words(
    "the of a al de du des d la le les l del della di dell do da das der dem den die iv i intravenous intraven gabe administration "
    "administracion amministrazione administracao gift podaniu podaniem podania vvedeniya zastrzyku dozylnym dozylnego toediening mezzo "
    "medio meio produit produkt srodka srodkiem mittel medium media srodku mdio intravenosa iniezione injection injektion inyeccion "
    "injecao "
    "von vom vnutrivennogo vnutrivennym vnutrivenno vv inj bolus som somministrazione verabreichung uygulama uygulamasi dosis dose"
)

GIVEN = _words(
    "given administered applied gegeben verabreicht appliziert gespritzt donne administre administrado administrada aplicado aplicada "
    "somministrato dato toegediend gegeven podano podany podana podanego gitt givet vvodilsya vveden vvodili verildikten verilen"
)
"""After or before an agent these say that it was given, or with a negation that it wasn't."""

# --- what an operation before or after which a scan was made, and what is done to a file -----------------------------------------------

SURGERY = _words(
    "op ops operative operativ operatif operatoire operation operatoria operatorio surgery surgical surg chir chirurgie cirugia "
    "chirurgia rt xrt radiation radiotherapy radio rtx rct therapy therapie treatment tx traitement chemo chemotherapy biopsy biopsie "
    "resection resektion resezione bestrahlung bestraling gk gammaknife srs shunt evd ictal partum mortem crani craniotomy stroke "
    "trauma ablation lit litt ekstraksiyon ameliyat cerrahi operacja operacji operacii operacija operatsii process processing processed "
    "proc hoc bestrahl"
)
SURGERY_WHOLE = _words(
    "preop postop postoperative preoperative postoperativ praoperativ praeoperativ preoperatoire postoperatoire preoperatorio "
    "postoperatorio intraop periop postrt prert postradiation postsurgery presurgery presurgical postsurgical postchemo pretreatment "
    "posttreatment pretx posttx postproc postprocessed preproc preprocessed postprocessing preprocessing postmortem postictal"
)
TARGET = _words("to onto into reg registered coreg coregistered aligned space2 2 in warped rigid")

# --- words that say nothing about any of this ----------------------------------------------------------------------------------------

PLANE = _words(
    "ax axial axi axiale axiaal axialny aksiyel aksial aksialnyj tra trans transv transversal transverse transversale transversaal tr "
    "sag sagittal sagital sagittale sagittaal sagittalnyj sagitalna koronal kor cor coronal coronale coronaal koronalnyj frontal obl "
    "oblique axobl tra3d para acpc hippo hippocampus hipp"
)
TECHNIQUE = _words(
    "3d 2d se fse tse ffe tfe ir gre spc space cube vista brainview view propeller blade multivane mv turbo fast spin echo fatsat fat "
    "sat fs fsat spir spair spectral water we wats dixon mdixon flex ideal w f ns nonsel sel ipat grappa sense caipi cs csense "
    "smartspeed dlr air recon dl deepresolve deep boost gain sharp iso isotropic isovoxel mm cm ms hr hires highres res high low lr te "
    "tr ti fa fov slice slices thin thick dick duenn mpr mpvr rfmt refmt reformat reformatted reconstruction rekonstruktion rek nd dis "
    "norm normalized normalised orig original filt filtered pure clear scic motion moco mocorr mt mtc gated flow comp fc sp rest tilt "
    "opt breath hold np npw wrap dfov matrix xl ao thr sl gap dist sms rtm art artefact artifact bb blackblood dante hf quiet silent "
    "memp magn mag inplane single multi min"
) | _words(
    "new neu old repeat rpt rep wdh bis again redo retry stealth brainlab nav navi navigation neuronav navigated neuronavigation stereo "
    "stereotactic tumor tumour glioma gbm hgg lgg met mets study std standard routine screening adult adulto protocolo wb whole full "
    "volume vol volumetric volumetrisch vox voxel img image images im scan scans series serie acq run rec desc part data file final raw "
    "corrected corr bias stripped bet hdbet skullstripped noskull mask masked resampled resample atlas template tpl zscore reoriented "
    "reorient ras lps las mni sri crop cropped denoised nii gz dcm nifti dicom converted copy mri mrt irm rm mr sequence sequenz "
    "weighted vi weighting gewichtet wichtung pondere ponderada pesata gewogen exam untersuchung fsl elastix ants affine warped resliced "
    "left right li re black blood wall double triple half dosed den uni temporal frontal parietal occipital lobe lobes fossa "
    "lesion rapid brief limited emergency compressed ultra avg average channel coil clinical research trial siemens philips ge canon "
    "toshiba skyra vida prisma signa und auf ist am zum zur bei for"
)
FAT_OBJECT = _words(
    "fs fat fatsat sat fsat spir spair mt mtc gap sense grappa flow motion angle tilt wrap gating gated norm normalization filter filt "
    "contrastless distortion correction corr skull scic pure ipat interpolation zip contrastx breath phase oversampling"
)
"""What a negation may be about instead of contrast agent: "post no fat sat"."""
